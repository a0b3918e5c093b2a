"""What one pytest run knows of robustness, and by what means it computes."""

from robustcheck.session.naming import views_named_by
from robustcheck.session.session import KEY, Session

__all__ = ["KEY", "Session", "views_named_by"]
