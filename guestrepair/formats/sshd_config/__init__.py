"""sshd_config(5) by the rules of the guest's own release: what sshd takes, and which lines it refuses.

:func:`parse` reads; :mod:`settings` answers what applies to whom.
"""

from guestrepair.formats.sshd_config.keywords import known_names
from guestrepair.formats.sshd_config.matching import Condition, Verdict, match_groups, match_list
from guestrepair.formats.sshd_config.parse import Config, Directive, Place, Problem, Source, parse

__all__ = [
    "Condition",
    "Config",
    "Directive",
    "Place",
    "Problem",
    "Source",
    "Verdict",
    "known_names",
    "match_groups",
    "match_list",
    "parse",
]
