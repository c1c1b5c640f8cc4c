"""The name that the packages analyzer still knows :class:`guestrepair.guest.accounts.AccountNames` by."""

from guestrepair.guest.accounts import AccountNames as Accounts

__all__ = ["Accounts"]
