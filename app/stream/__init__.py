"""The delivery spine: event bytes → decode → Batch → pipeline → Outcomes → emit → commit → acknowledge."""
