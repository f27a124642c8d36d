//! A client of the API server, over HTTPS or in process: requests, informers, work queues.
