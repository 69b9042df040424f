"""RabbitMQ as the broker: kombu for connection, login and topology; the message path on py-amqp's channels."""

from esb.broker.rabbitmq.broker import RabbitMqBroker

__all__ = ["RabbitMqBroker"]
