"""What the guest's network cards will get at boot, over all the managers that may configure them."""

from guestrepair.system.network.model import Configuration, Match, Problem
from guestrepair.system.network.network import Network

__all__ = ["Configuration", "Match", "Network", "Problem"]
