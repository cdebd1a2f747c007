// Ctrl-C and SIGTERM as a question that long loops ask.
#pragma once

namespace rattn {

// From now on SIGINT and SIGTERM set a flag; a second one ends the process.
void CatchInterrupts();
bool Interrupted();

}  // namespace rattn
