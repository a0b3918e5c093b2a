"""Attacks of other libraries as views, where they are installed: a small adapter each."""

from robustcheck.attacks.external.adapter import LIBRARIES, attack_by, check_attack, version_of

__all__ = ["LIBRARIES", "attack_by", "check_attack", "version_of"]
