"""Where a finished file goes. Each sink ends in exactly one of commit and abort."""
