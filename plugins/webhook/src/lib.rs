//! Stock plugin `webhook`. Events as batches of signed JSON to an HTTP endpoint.
