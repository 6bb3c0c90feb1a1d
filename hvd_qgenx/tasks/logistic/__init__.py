"""L2-regularized logistic regression: convex problems with a known optimum, solved by workers that average."""
