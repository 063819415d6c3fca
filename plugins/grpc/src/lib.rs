//! Stock plugin `grpc`. The standard gRPC health service says SERVING.
