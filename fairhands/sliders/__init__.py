"""Concept sliders (arXiv 2311.12092): a LoRA learnt from prompts alone, such as one toward natural hands."""
