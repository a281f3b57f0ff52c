#include "freelist.h"

#include <stdlib.h>
#include <sys/mman.h>

typedef struct Block {
  struct Block *next;
} Block;

enum { GRAIN = 16, LISTS = 1024 / GRAIN + 1, CHUNK = 1 << 20 };

static _Thread_local Block *lists[LISTS];

static inline size_t list_of(size_t size) { return (size + GRAIN - 1) / GRAIN; }

static __attribute__((noinline)) void refill(size_t list) {
  size_t size = list * GRAIN;
  char *chunk = mmap(NULL, CHUNK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (chunk == MAP_FAILED) abort();
  for (size_t at = 0; at + size <= CHUNK; at += size) {
    Block *block = (Block *)(void *)(chunk + at);
    block->next = lists[list];
    lists[list] = block;
  }
}

static inline void *pop(size_t list) {
  Block *block = lists[list];
  if (__builtin_expect(!block, 0)) {
    refill(list);
    block = lists[list];
  }
  lists[list] = block->next;
  return block;
}

static inline void push(size_t list, Block *block) {
  block->next = lists[list];
  lists[list] = block;
}

// Real functions, as malloc and free are.
__attribute__((noinline)) void *freelist_alloc(size_t size) { return pop(list_of(size)); }
__attribute__((noinline)) void freelist_free(void *block, size_t size) { push(list_of(size), block); }
