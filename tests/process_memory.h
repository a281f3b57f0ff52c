/* What the kernel says this process occupies. Pss, because Rss counts a meshed page once for each address. */
#ifndef TESTS_PROCESS_MEMORY_H
#define TESTS_PROCESS_MEMORY_H

#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Bytes; 0 where the kernel does not tell. Allocates nothing: it must not change what it measures. */
static inline size_t process_pss(void) {
  char text[4096];
  int file = open("/proc/self/smaps_rollup", O_RDONLY | O_CLOEXEC);
  if (file < 0) return 0;
  ssize_t length = read(file, text, sizeof text - 1);
  close(file);
  if (length <= 0) return 0;
  text[length] = '\0';
  const char *line = strstr(text, "\nPss:");
  return line ? strtoul(line + strlen("\nPss:"), NULL, 10) * 1024 : 0;
}

#endif
