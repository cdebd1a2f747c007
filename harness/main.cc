#include "harness/cli.h"

int main(int argc, char** argv) { return rattn::RunCli(argc, argv); }
