"""From datasets to prepared people, stage by stage."""
