"""The Celery application and its tasks: what is scheduled or slow. State is in the store, never in a task."""
