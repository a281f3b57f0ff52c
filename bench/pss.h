// Reading a process's proportional set size. Pss and not Rss: Rss counts a page once for each address it is
// mapped at, so it would count a meshed page several times. Nothing here allocates, so a program may measure
// itself.
#ifndef BENCH_PSS_H
#define BENCH_PSS_H

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// The first number after KEY in the file (at most 4 KiB of it are read), or 0 if the file or the key is not
// there.
static inline long proc_value(const char *path, const char *key) {
  char text[4096];
  size_t used = 0;
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 0;
  for (;;) {
    ssize_t got = read(fd, text + used, sizeof text - 1 - used);
    if (got <= 0) break;
    used += (size_t)got;
  }
  close(fd);
  text[used] = 0;
  const char *found = strstr(text, key);
  return found ? strtol(found + strlen(key), NULL, 10) : 0;
}

// In KiB. The newline keeps "Pss:" from matching inside another word.
static inline long pss_kb(const char *smaps_rollup) { return proc_value(smaps_rollup, "\nPss:"); }

#endif
