"""Images and labels: CIFAR-10 in its official layouts, pairs of .npy files, the generated shapes set, batches, augmentation."""
