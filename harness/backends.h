// Backends as the program sees them: the kernel layer's list, with the one
// that needs LibTorch loaded only when it is asked for.
#pragma once

namespace rattn {

// Tells the kernel layer how to load the torch backend. Called once by main().
void ConnectTorchBackend();

}  // namespace rattn
