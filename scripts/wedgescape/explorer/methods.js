explorer.view("methods", explorer.matrices);
