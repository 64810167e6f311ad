"""From pictures of people to pairs of hands: found, filtered, captioned, imitated by a base model, packed."""
