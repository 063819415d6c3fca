//! Stock plugin `postgres`. PostgreSQL accepts connections and answers; its role as a sample.
