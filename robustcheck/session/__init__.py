"""What one pytest run knows of robustness, and by what means it computes."""

from robustcheck.session.session import KEY, Session
from robustcheck.session.view_discovery import views_named_by

__all__ = ["KEY", "Session", "views_named_by"]
