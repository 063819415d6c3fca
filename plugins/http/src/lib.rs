//! Stock plugin `http`. An HTTP request: status, headers, body, JSON values, expiry of the certificate.
