# csrc/include/lipwire for Cython: a file for each header, with its declarations in their order.
