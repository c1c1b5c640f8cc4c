"""The only room that imports guestfs: the appliance, how it is started and ended, and the programs in it."""
