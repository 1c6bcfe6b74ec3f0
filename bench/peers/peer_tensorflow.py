"""The GANs in TensorFlow and Keras: a peer of bench/compare.

Ways: function, a whole step as one tf.function; xla, the same with jit_compile=True; keras, three calls of
train_on_batch as in the tutorials, where G runs twice a step (alone for D, called as a function, which is faster than their
predict, and within the stacked model) on data that became floats beforehand. Channels come last, as TensorFlow wants it on
a CPU.
"""
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras  # noqa: E402
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402
from keras import layers  # noqa: E402

import models  # noqa: E402
import protocol  # noqa: E402
from models import ADAM, ITEM, LATENT, RECIPES  # noqa: E402

WAYS = {"keras": ("mlp",), "function": ("mlp", "dcgan"), "xla": ("mlp", "dcgan")}
LAST = ITEM[1:] + ITEM[:1]


def layer_of(layer, left, init):
    kind = layer[0]
    weights = keras.initializers.RandomNormal(0, models.STD) if init == "normal" else "glorot_uniform"
    if kind == "dense":
        return layers.Dense(layer[1], use_bias=layer[2], kernel_initializer=weights)
    if kind in ("conv", "conv_transpose"):
        kernel = layers.Conv2D if kind == "conv" else layers.Conv2DTranspose
        return kernel(layer[1], 4, strides=2, padding="same", use_bias=layer[2], kernel_initializer=weights)
    if kind == "batchnorm":
        scale = keras.initializers.RandomNormal(1, models.STD) if init == "normal" else "ones"
        return layers.BatchNormalization(epsilon=models.EPS, momentum=1 - models.MOMENTUM, gamma_initializer=scale)
    return {"leaky_relu": lambda: layers.LeakyReLU(negative_slope=models.SLOPE), "relu": layers.ReLU,
            "tanh": lambda: layers.Activation("tanh"), "flatten": layers.Flatten,
            "reshape": lambda: layers.Reshape(left[1:] + left[:1])}[kind]()


def player(recipe, name):
    table, shape, entered = RECIPES[recipe], *{"G": ((LATENT,), (LATENT,)), "D": (ITEM, LAST)}[name]
    return keras.Sequential([keras.Input(entered)] + [layer_of(layer, left, table["init"]) for layer, _, left in
                                                      models.walk(table[name], shape)])


def adam():
    return keras.optimizers.Adam(ADAM["lr"], *ADAM["betas"], epsilon=ADAM["eps"])


class Trainer:
    """One graph a step."""

    def __init__(self, recipe, batch, compiled):
        keras.utils.set_random_seed(0)
        self.data = protocol.images().reshape(-1, *LAST)
        self.batch, self.order = batch, protocol.Order(len(self.data), batch)
        self.g, self.d = player(recipe, "G"), player(recipe, "D")
        self.opt_g, self.opt_d = adam(), adam()
        self.opt_g.build(self.g.trainable_variables)
        self.opt_d.build(self.d.trainable_variables)
        self.graph = tf.function(self.work, jit_compile=compiled,
                                 input_signature=[tf.TensorSpec((batch, *LAST), tf.uint8)])

    def loss(self, logits, target):
        return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(tf.fill([self.batch, 1], target), logits))

    def update_d(self, x, target):
        with tf.GradientTape() as tape:
            loss = self.loss(self.d(x, training=True), target)
        own = self.d.trainable_variables
        self.opt_d.apply(tape.gradient(loss, own), own)
        return loss

    def work(self, real):
        real = tf.cast(real, tf.float32) / 127.5 - 1
        own = self.g.trainable_variables
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([v.value for v in own])
            fake = self.g(tf.random.normal([self.batch, LATENT]), training=True)
            with tape.stop_recording():
                real_loss, fake_loss = self.update_d(real, 1.0), self.update_d(fake, 0.0)
            loss = self.loss(self.d(fake, training=True), 1.0)
        self.opt_g.apply(tape.gradient(loss, [v.value for v in own]), own)
        return real_loss, fake_loss, loss

    def step(self):
        return self.graph(self.data[self.order.next()])

    def wait(self, losses):
        losses[-1].numpy()

    def parameters(self):
        return {name: sum(int(np.prod(v.shape)) for v in p.trainable_variables)
                for name, p in (("G", self.g), ("D", self.d))}

    def flops(self):
        return None


class KerasTrainer:
    """train_on_batch, as in the tutorials."""

    def __init__(self, recipe, batch):
        keras.utils.set_random_seed(0)
        self.data = protocol.images().reshape(-1, *LAST).astype(np.float32) / 127.5 - 1
        self.batch, self.order, self.random = batch, protocol.Order(len(self.data), batch), np.random.default_rng(0)
        self.g, self.d = player(recipe, "G"), player(recipe, "D")
        self.one, self.zero = np.ones((batch, 1), np.float32), np.zeros((batch, 1), np.float32)
        self.count = {"G": self.g.count_params(), "D": self.d.count_params()}
        self.count["G"] -= sum(int(np.prod(w.shape)) for w in self.g.non_trainable_weights)
        self.d.compile(loss=keras.losses.BinaryCrossentropy(from_logits=True), optimizer=adam())
        self.d.train_on_batch(self.data[:batch], self.one)  # traced while D's weights may be trained
        self.d.trainable = False
        self.stack = keras.Sequential([keras.Input((LATENT,)), self.g, self.d])
        self.stack.compile(loss=keras.losses.BinaryCrossentropy(from_logits=True), optimizer=adam())

    def step(self):
        z = self.random.standard_normal((self.batch, LATENT), np.float32)
        fake = self.g(z, training=True)
        real_loss = self.d.train_on_batch(self.data[self.order.next()], self.one)
        fake_loss = self.d.train_on_batch(fake, self.zero)
        return real_loss, fake_loss, self.stack.train_on_batch(z, self.one)

    def wait(self, losses):
        pass

    def parameters(self):
        return self.count

    def flops(self):
        return None


def make(recipe, batch, threads, way):
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    return KerasTrainer(recipe, batch) if way == "keras" else Trainer(recipe, batch, way == "xla")


if __name__ == "__main__":
    protocol.serve("TensorFlow", tf.__version__, WAYS, make)
