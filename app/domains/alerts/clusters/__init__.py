"""What clusters are made of: their state, entities, and how alike two alerts are."""
