#include "magazine.h"

#include "meta.h"

Magazine *magazine_new(uint32_t capacity) {
  Magazine *m = meta_alloc(magazine_bytes(capacity));
  if (m == NULL) return NULL;
  m->next = NULL;
  m->count = 0;
  m->capacity = capacity;
  return m;
}

void magazine_delete(Magazine *m) { meta_free(m, magazine_bytes(m->capacity)); }
