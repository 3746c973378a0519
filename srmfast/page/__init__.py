"""Results as one HTML file that explains itself: offline, safe to send, whole without scripts but for its pictures."""

from srmfast.page.pages import report_page

__all__ = ["report_page"]
