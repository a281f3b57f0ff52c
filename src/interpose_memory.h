/* What ends meshing, and parts what was meshed. */
#ifndef MESH_INTERPOSE_MEMORY_H
#define MESH_INTERPOSE_MEMORY_H

#include <stdbool.h>

typedef enum StopReason {
  STOP_LOCKED = 1,   /* all memory is locked */
  STOP_FILTERED = 2, /* a seccomp filter may end a process for the system calls that meshing makes */
} StopReason;

bool meshing_stopped(StopReason why);
/* Before the call that gives the reason. False if there is no memory for it, with errno set. */
bool meshing_stop(StopReason why);
/* The reason is gone, or the call failed. */
void meshing_go_on(StopReason why);

#endif
