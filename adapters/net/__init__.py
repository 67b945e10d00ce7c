"""What the host does on the network for a plugin: WebSocket, HTTP and the policy that both obey."""
