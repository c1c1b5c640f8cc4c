"""For all tests: property tests have no deadline, since machines under emulation are slow now and then."""

from __future__ import annotations

import hypothesis

hypothesis.settings.register_profile("guestrepair", deadline=None, max_examples=60)
hypothesis.settings.load_profile("guestrepair")
