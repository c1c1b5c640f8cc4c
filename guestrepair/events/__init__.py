"""What happened in the guest, and when: readers of logs, logins, histories and file times, as one stream.

Times are UTC. An event says how certain its time is, and where it is on record. Nothing here judges.
"""
