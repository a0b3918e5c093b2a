"""Exported programs as data: what in an archive of torch.export is checked, and how."""
