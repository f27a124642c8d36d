//! Black box: scenarios against the binary, its files and its sockets.
