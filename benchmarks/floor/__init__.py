"""The floor: a C++ program of our own beside this file, built where there is a compiler."""
