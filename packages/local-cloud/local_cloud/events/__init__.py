"""EventBridge that fires: patterns, schedules, targets, and the alarms whose state changes are events."""
