#include "check.h"

#include <string.h>

#include "os.h"

static size_t append(char *line, size_t at, size_t room, const char *text) {
  while (*text != '\0' && at < room) line[at++] = *text++;
  return at;
}

static size_t append_hex(char *line, size_t at, size_t room, uintptr_t x) {
  char digits[16];
  size_t n = 0;
  do digits[n++] = "0123456789abcdef"[x & 15];
  while ((x >>= 4) != 0);
  at = append(line, at, room, "0x");
  while (n > 0 && at < room) line[at++] = digits[--n];
  return at;
}

void mesh_fatal(const char *what, const void *address) {
  char line[256];
  const size_t room = sizeof line - 1;
  size_t n = append(line, 0, room, "libmesh: ");
  n = append(line, n, room, what);
  if (address != NULL) {
    n = append(line, n, room, " ");
    n = append_hex(line, n, room, (uintptr_t)address);
  }
  line[n++] = '\n';
  os_write(2, line, n);
  os_abort();
}
