"""Build the floor: this project's C++ program `floor.cpp`, compiled if there is a compiler."""
