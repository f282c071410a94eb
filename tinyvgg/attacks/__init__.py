"""Adversarial attacks, one a file: functions with keyword-only settings and a seed that return a re-checked AttackResult."""
