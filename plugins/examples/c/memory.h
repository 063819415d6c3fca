// Memory that a call takes and the next call gets anew.

#ifndef MEMORY_H
#define MEMORY_H

#include <stddef.h>

// `size` bytes, zeroed and aligned for everything. Traps when there is no more: the host
// then throws the instance away, which is safe, for what must last is the saved state.
void *memory_take(size_t size);

// At the end of each exported function. What was taken stays as it is until the host has
// read the answer and makes the next call.
void memory_end_of_call(void);

#endif
