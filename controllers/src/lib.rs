//! Control loops, one file each, as clients of the API server.
