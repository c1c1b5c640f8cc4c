"""For all tests: property tests have no deadline, since machines under emulation are slow now and then.

``GUESTREPAIR_TEST_DEPTH=thorough`` runs many more examples of each.
"""

from __future__ import annotations

import os

import hypothesis

hypothesis.settings.register_profile("quick", deadline=None, max_examples=20)
hypothesis.settings.register_profile("thorough", deadline=None, max_examples=500)
hypothesis.settings.load_profile(os.environ.get("GUESTREPAIR_TEST_DEPTH", "quick"))
