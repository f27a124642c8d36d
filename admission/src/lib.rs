//! Policy on objects: the built-in admission plugins, one file each, in upstream's order.
