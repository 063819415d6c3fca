//! Stock plugin `file`. Events as lines of a rotated file.
