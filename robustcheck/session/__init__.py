"""What one pytest run owns: what it evaluates, its results, its reports."""

from robustcheck.session.session import KEY, Session

__all__ = ["KEY", "Session"]
