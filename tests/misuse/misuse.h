/* A misuse program says on stdout which pointer it is about to misuse, misuses it, and gives the allocator
   every occasion to notice: a small object's misuse shows when it is handed back from a cache. */
#ifndef TESTS_MISUSE_H
#define TESTS_MISUSE_H

#include <malloc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* The pointer, in a way that the compiler cannot see through: it would warn of the misuse, or make use of it.
 */
static inline void *announce(void *object) {
  uintptr_t address = (uintptr_t)object;
  dprintf(STDOUT_FILENO, "0x%jx\n", (uintmax_t)address);
  __asm__ volatile("" : "+r"(address) : : "memory");
  return (void *)address;
}

/* Neighbours that stay alive, so that the span does not go when the misused object goes. */
static inline void allocate_neighbours(size_t size) {
  for (int i = 0; i < 1000; i++) {
    void *object = malloc(size);
    __asm__ volatile("" : : "r"(object) : "memory");
  }
}

#endif
