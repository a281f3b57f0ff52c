/* See deepbind.c. */
int neighbour = 1;
