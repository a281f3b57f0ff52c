/* Runs a function in a child process: for what ends a process, and for what needs an arena of its own. */
#ifndef UNIT_CHILD_H
#define UNIT_CHILD_H

#include <stddef.h>

typedef struct Child {
  int exit_code;   /* -1 if a signal ended it */
  int signal;      /* 0 if it exited */
  char text[1024]; /* what it wrote to stderr, cut off */
} Child;

typedef void ChildBody(void *argument);

/* Exits with 0 if `body` returns. */
Child child_run(ChildBody *body, void *argument);

/* Fails the calling test, with what the child wrote, unless the child exits with 0. */
void assert_child_passes(ChildBody *body, void *argument);
/* ... unless it dies by SIGABRT and "libmesh: <what> 0x<address>" is all it wrote. */
void assert_child_aborts(ChildBody *body, void *argument, const char *what, const void *address);

/* In a child, where cmocka's assertions would go on in the parent's copy: tells what failed and exits. */
#define expect(x) ((x) ? (void)0 : child_failed(__FILE__, __LINE__, #x))
_Noreturn void child_failed(const char *file, int line, const char *what);

#endif
